"""Pydantic AI lives here and knows neither HTTP nor SQL."""

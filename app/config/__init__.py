"""Settings: the only reader of the environment."""

from app.config.choice import ModelChoice, choose_model, missing_variable
from app.config.keys import SecretKey, parse_key, parse_ring
from app.config.loading import InvalidSettings, load_settings
from app.config.problems import Problem, is_loopback, problems
from app.config.settings import Settings, project_root, secret_variables, variables

__all__ = [
    "InvalidSettings",
    "ModelChoice",
    "Problem",
    "SecretKey",
    "Settings",
    "choose_model",
    "is_loopback",
    "load_settings",
    "missing_variable",
    "parse_key",
    "parse_ring",
    "problems",
    "project_root",
    "secret_variables",
    "variables",
]

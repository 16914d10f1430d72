"""What an agent can do, one file each."""

from app.agents.tool import ToolSpec
from app.agents.tools import calculator, clock, http_post, notes, web_page

TOOLS: tuple[ToolSpec, ...] = (clock.TOOL, calculator.TOOL, web_page.TOOL, *notes.TOOLS, http_post.TOOL)
"""Every tool; a new one is a file here and an entry in this tuple."""

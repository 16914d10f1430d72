"""What an agent can do, one file each."""

from app.agents.tool import ToolSpec
from app.agents.tools import (
    app_context,
    calculator,
    clock,
    http_post,
    mail_draft,
    mail_label,
    mail_read,
    mail_reply,
    mail_search,
    mail_send,
    notes,
    propose_task,
    read_source,
    save_file,
    search_corpus,
    search_web,
    web_page,
)

TOOLS: tuple[ToolSpec, ...] = (
    clock.TOOL,
    calculator.TOOL,
    web_page.TOOL,
    *notes.TOOLS,
    http_post.TOOL,
    mail_search.TOOL,
    mail_read.TOOL,
    mail_draft.TOOL,
    mail_reply.TOOL,
    mail_send.TOOL,
    mail_label.TOOL,
    propose_task.TOOL,
    *app_context.TOOLS,
    save_file.TOOL,
    search_web.TOOL,
    search_corpus.TOOL,
    read_source.TOOL,
)
"""Every tool; a new one is a file here and an entry in this tuple."""

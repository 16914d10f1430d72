"""The agents that are there without anyone defining one."""

from app.agents.definition import AgentDefinition
from app.agents.document_agents import DOCUMENT_AGENTS
from app.agents.research import Finding
from app.agents.tools import TOOLS
from app.models.agent import USUAL_OVERRIDES

_ALL_TOOLS = tuple(spec.name for spec in TOOLS)

BUILT_IN: tuple[AgentDefinition, ...] = (
    AgentDefinition(
        name="assistant",
        description="Answers questions, calculates, reads web pages and keeps notes.",
        instructions=(
            "You are a helpful assistant. Use a tool when it makes the answer more certain: calculate instead of "
            "estimating, look at the clock instead of guessing. Say plainly when you do not know something."
        ),
        tools=_ALL_TOOLS,
        overrides=(*USUAL_OVERRIDES, "instructions_append"),  # programs that speak to a model bring theirs
    ),
    AgentDefinition(
        name="sidekick",
        description="Helps inside an application: knows its state, changes it by agreement, uses its tools.",
        instructions=(
            "You are a helpful companion. Look at what is in front of the person before you ask. Calculate instead of "
            "estimating, look at the clock instead of guessing, and say plainly when you do not know something."
        ),
        tools=_ALL_TOOLS,
        overrides=USUAL_OVERRIDES,
    ),
    AgentDefinition(
        name="delegate",
        description="Carries out tasks in the background and hands in the result.",
        instructions=(
            "You are careful and thorough. Work in steps, check what you find, use tools where they make the result "
            "certain, and name your sources."
        ),
        tools=_ALL_TOOLS,
        overrides=USUAL_OVERRIDES,
    ),
    AgentDefinition(
        name="watcher",
        description="Looks at something again and again, and says whether it is worth telling anyone.",
        instructions=(
            "You look at what the task names and judge whether the person would want to be told now. Set `notify` to "
            "true only for something new, wrong or urgent; when nothing has happened, it is false. `report` is what "
            "the person reads, in Markdown, complete in itself; `title` is its headline."
        ),
        tools=_ALL_TOOLS,
        overrides=USUAL_OVERRIDES,
        output_schema={
            "type": "object",
            "properties": {
                "notify": {"type": "boolean", "description": "Whether this is worth telling the person now."},
                "title": {"type": "string", "maxLength": 200},
                "report": {"type": "string"},
            },
            "required": ["notify", "title", "report"],
            "additionalProperties": False,
        },
    ),
    AgentDefinition(
        name="researcher",
        description="Researches a question in sources and hands in statements with references.",
        instructions=(
            "You are a careful researcher. Prefer few good sources to many poor ones, and figures to adjectives."
        ),
        tools=("search_web", "search_corpus", "read_source", "calculator", "current_time"),
        overrides=USUAL_OVERRIDES,
        output_schema=Finding.model_json_schema(),
    ),
    *DOCUMENT_AGENTS,
)
"""The agents that are there without anyone defining one."""

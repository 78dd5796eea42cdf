"""The texts that a member is given. The members that ship were trained on exactly these texts."""

import hashlib
import json
from string import Template

from inference.pipeline.domains import Domain
from inference.pipeline.parsing import Answer

ANSWER_FORMAT = (
    "Reply with one JSON object only: "
    '{"description": "what is seen", "reasoning": "why this label", "label": "the label"}'
)
REFLECTION_FORMAT = (
    "Reply with one JSON object only: "
    '{"reflection": "which rule fits and why", "label": "the label"}'
)


def answer_prompt(domain: Domain) -> str:
    """Stages 1 and 2, one generation beside the pictures."""
    labels = ", ".join(domain.label_ids)
    return f"{Template(domain.prompt).substitute(labels=labels)}\n{ANSWER_FORMAT}"


def reflection_prompt(domain: Domain, answer: Answer) -> str:
    """Stage 3, text only: the domain's rules and the member's own answer, never the picture."""
    rules = "\n".join(f"- {label}: {rule}" for label, rule in domain.rules.items())
    shown = {key: getattr(answer, key) for key in ("description", "reasoning", "label")}
    text = Template(domain.reflection).substitute(
        rules=rules, answer=json.dumps(shown, ensure_ascii=False)
    )
    return f"{text}\n{REFLECTION_FORMAT}"


def answer_schema(domain: Domain) -> dict[str, object]:
    """JSON schema of the answer to `answer_prompt`, keys in the order of generation."""
    return _schema(domain, "description", "reasoning")


def reflection_schema(domain: Domain) -> dict[str, object]:
    """JSON schema of the answer to `reflection_prompt`."""
    return _schema(domain, "reflection")


def prompt_hash(prompt: str) -> str:
    """SHA-256 (hex) of a prompt, for a StageTrace to pin."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def _schema(domain: Domain, *texts: str) -> dict[str, object]:
    label = {"type": "string", "enum": list(domain.label_ids)}
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in texts} | {"label": label},
        "required": [*texts, "label"],
        "additionalProperties": False,
    }

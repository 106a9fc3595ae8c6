"""Examples of requests for the OpenAPI document; tests send them to a running service."""

from typing import Any, Final

_BUDGETS: Final = {
    "at_most_macs": {
        "summary": "At most 60M MACs and 40% of the teacher's parameters",
        "value": {
            "teacher": "all-MiniLM-L6-v2",
            "budget": {"macs": 60_000_000, "params": "40%"},
        },
    },
    "small_file": {
        "summary": "A file of at most 14 MB, from the newest version of one SuperLM",
        "value": {"superlm": "minilm-l6-narrow@latest", "budget": {"size_bytes": 14_000_000}},
    },
}

REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "plan_extraction": _BUDGETS,
    "create_extraction": _BUDGETS,
    "create_api_key": {
        "team": {
            "summary": "A key of a product team",
            "value": {"label": "search team", "scopes": ["extract"]},
        }
    },
    "profile_device": {
        "default": {"summary": "The usual conditions", "value": {}},
        "batches": {
            "summary": "Batches of 8 with 64 tokens",
            "value": {"conditions": [{"batch_size": 8, "sequence_length": 64}]},
        },
    },
}
"""By the operation's id and a name of the example."""

"""One member's way through the three stages: domain, prompts, generation, parsing. Plain Python."""

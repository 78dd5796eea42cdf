"""The verbs of inference: store what was seen, run the members over it, sum up what they said."""

"""How the shipped members are trained: from a labelled folder to checkpoints with model cards.

    python -m inference.training --data wound=../shared/data/wounds home=../shared/data/home

Nothing here is imported by the web or the inference worker.
"""

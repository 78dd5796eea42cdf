"""What cases look like in their members' words, for telling which resemble one another."""

from collections.abc import Collection
from uuid import UUID

import numpy as np
from django.db.models import QuerySet

from inference.models import StageTrace
from inference.pipeline.stages import Stage
from inference.uq.types import Numbers
from triage.models import Decision


def mean_descriptions(runs: Collection[UUID]) -> dict[UUID, Numbers]:
    """run -> mean embedding (384,) of its members' valid descriptions; without any it is left out.

    One query; far less is read than for `evidence.gather`.
    """
    rows = StageTrace.objects.filter(
        run__in=runs,
        stage=Stage.COMPREHENSION,
        valid=True,
        late=False,
        embedding__isnull=False,
    ).values_list("run_id", "embedding")
    found: dict[UUID, list[Numbers]] = {}
    for run, embedding in rows:
        assert embedding is not None  # the query leaves those out
        found.setdefault(run, []).append(np.frombuffer(embedding, dtype="<f4"))
    return {run: np.mean(vectors, axis=0) for run, vectors in found.items()}


def newest_descriptions(rows: QuerySet[Decision], most: int) -> Numbers:
    """Mean descriptions (n, 384) of the first `most` decisions, as the query orders them."""
    found = mean_descriptions(list(rows.values_list("run_id", flat=True)[:most]))
    return np.array(list(found.values())) if found else np.empty((0, 1))

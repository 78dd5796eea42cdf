"""From stored traces to the arrays that inference.uq works on."""

from collections.abc import Sequence

import numpy as np

from inference.models import Run, StageTrace
from inference.pipeline.stages import Stage
from inference.uq.answers import Answers

DIMENSIONS = 384
_TEXT_OF = {Stage.COMPREHENSION: "description", Stage.ANALYSIS: "reasoning"}


def final_traces(run: Run) -> dict[tuple[str, str], StageTrace]:
    """(member, stage) -> the trace of the last attempt; what came late counts for nothing."""
    in_time = [trace for trace in run.traces.all() if not trace.late]
    ordered = sorted(in_time, key=lambda trace: trace.attempt)
    return {(trace.member, trace.stage): trace for trace in ordered}


def late_traces(run: Run) -> list[StageTrace]:
    """What came when the run was closed, or its job with somebody else, as it came."""
    return sorted((trace for trace in run.traces.all() if trace.late), key=lambda one: one.pk)


def answers_of(runs: Sequence[Run], members: Sequence[str] | None = None) -> Answers:
    """What `members` answered in `runs`; what is missing is NaN or "".

    Args:
        runs: n runs; prefetch `traces` where there are many.
        members: M names in order; by default those that the first run pinned.
    """
    names = tuple(members if members is not None else sorted(runs[0].pins["members"]))
    shape = (len(runs), len(names))
    descriptions = np.full((*shape, DIMENSIONS), np.nan)
    reasonings = np.full((*shape, DIMENSIONS), np.nan)
    labels = np.full(shape, "", dtype=object)
    reflected = np.full(shape, "", dtype=object)
    logprobs = np.full(shape, np.nan)
    texts = {stage: np.full(shape, "", dtype=object) for stage in _TEXT_OF}
    for i, run in enumerate(runs):
        traces = final_traces(run)
        for j, name in enumerate(names):
            _fill(descriptions[i, j], traces.get((name, Stage.COMPREHENSION)))
            analysis = traces.get((name, Stage.ANALYSIS))
            _fill(reasonings[i, j], analysis)
            for stage, key in _TEXT_OF.items():
                texts[stage][i, j] = _field(traces.get((name, stage)), key)
            labels[i, j] = _label(analysis)
            reflected[i, j] = _label(traces.get((name, Stage.REFLECTION)))
            if analysis and analysis.valid and analysis.logprob is not None:
                logprobs[i, j] = analysis.logprob
    return Answers(
        members=names,
        descriptions=descriptions,
        reasonings=reasonings,
        labels=labels,
        reflected=reflected,
        logprobs=logprobs,
        description_texts=texts[Stage.COMPREHENSION],
        reasoning_texts=texts[Stage.ANALYSIS],
    )


def _fill(row: np.ndarray, trace: StageTrace | None) -> None:
    if trace and trace.valid and trace.vector is not None:
        row[:] = trace.vector


def _label(trace: StageTrace | None) -> str:
    return _field(trace, "label")


def _field(trace: StageTrace | None, key: str) -> str:
    return str(trace.fields.get(key, "")) if trace and trace.valid else ""

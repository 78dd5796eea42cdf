"""What inference announces; whoever is above may listen.

run_progressed: sender=Run, run_ids: list of UUID. A member began or ended a stage of these.
runs_finished: sender=Run, runs: list of Run, scored or failed; they will not change any more.
process_ends: a worker is about to end its process at once; no handler may wait for long.
probe_ended: sender=Probe, probe_id: int, domain: str. A member was asked for its health.
"""

from django.dispatch import Signal

run_progressed = Signal()
runs_finished = Signal()
process_ends = Signal()
probe_ended = Signal()

"""How well the ensemble and its scores do on labelled pictures and clips: ask, judge, report."""

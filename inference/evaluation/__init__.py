"""How well the ensemble and its scores do on labelled photos: ask, judge, report."""

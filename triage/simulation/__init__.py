"""The feedback loop on recorded answers, policy after policy: what `manage.py simulate` runs."""

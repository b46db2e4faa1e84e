"""Policies in the forms of others: Prometheus rules, OpenSLO."""

"""The management API below /api/v1: what all of its views share, and the resources of this app.

A view finds out who asks (authentication.py), whether they may (access.py, by views.py), and calls
the function that pages and commands call too. It decides nothing itself.
"""

"""What one machine needs: the embedded servers, their supervisor and the demo provider.

Nothing of the product imports this package; only entry points and tests do.
"""

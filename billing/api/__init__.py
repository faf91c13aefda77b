"""The management API's resources of this app: prices, quotas, and what was used and refused."""

"""The management API's resources of this app: where calls go. Operators' alone, but for the list of
models, which everybody may see."""

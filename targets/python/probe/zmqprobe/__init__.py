"""The probe. It runs on CPython 3.9, which bullseye has, and later."""

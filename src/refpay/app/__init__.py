"""The HTTP API: `python -m refpay.app`."""

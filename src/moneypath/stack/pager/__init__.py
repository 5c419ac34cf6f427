"""A stand-in for a paging service: takes Alertmanager's webhooks, keeps them, and lets roles acknowledge."""

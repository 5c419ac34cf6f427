"""A target: a deployed service, and what moneypath may ask of it. Start at `document.TargetFile`."""

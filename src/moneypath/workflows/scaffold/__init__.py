"""Write the first files of a project: what `moneypath init` asks, its templates, and how they are filled."""

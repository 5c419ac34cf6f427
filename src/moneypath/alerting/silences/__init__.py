"""Count the active silences that mute integrity alerts, as Alertmanager matches them."""

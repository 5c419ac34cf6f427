"""The colours of the diagram. It has a background of its own, so it reads the same on a dark page."""

from moneypath.path.parts import ControlKind

CARD = "#ffffff"
CARD_EDGE = "#d5dce4"
INK = "#1b2733"
MUTED = "#52606d"
STAGE = "#1f3a5f"
STAGE_FILL = "#fbfcfe"
ON_STAGE = "#ffffff"
MONEY = "#1f3a5f"
OBJECTIVE = "#1a7f5a"
PROVIDER_EDGE = "#8a97a6"
PROVIDER_PLATE = "#f3f6f9"
DEPENDENCY = "#64748b"
# Edge and fill; the kind is also written out, for colour-blind readers.
CONTROLS = {
    ControlKind.KYC: ("#6941c6", "#f4f0fd"),
    ControlKind.SANCTIONS: ("#b42318", "#fdf0ee"),
    ControlKind.LICENCE: ("#9a6700", "#fdf6e3"),
    ControlKind.DATA_RESIDENCY: ("#0b7285", "#e6f6f8"),
}

"""Build Grafana's visualization of each kind of panel."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from grafana_foundation_sdk.builders import common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as grafana
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from moneypath.dashboards.model import Colour, FieldOverride, Panel, PanelKind, ThresholdStep

Visual: TypeAlias = "stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel"
_STACKED_OPACITY = 40
_LINE_OPACITY = 8


def visual(panel: Panel) -> Visual:
    """Return the builder of a panel with everything that follows from its kind and its values."""
    made = _of_kind(panel)
    made = made.unit(panel.unit).thresholds(_thresholds(panel.steps))
    if panel.decimals is not None:
        made = made.decimals(panel.decimals)
    if panel.no_value:
        made = made.no_value(panel.no_value)
    if panel.min_value is not None:
        made = made.min(panel.min_value)
    if panel.max_value is not None:
        made = made.max(panel.max_value)
    if panel.value_mappings:
        made = made.mappings([_mapping(panel)])
    for name, override in panel.overrides.items():
        made = made.override_by_name(name, list(_properties(override)))
    return made


def _of_kind(panel: Panel) -> Visual:
    match panel.kind:
        case PanelKind.STAT:
            return _stat(panel)
        case PanelKind.TIMESERIES:
            return _timeseries(panel)
        case PanelKind.TABLE:
            return _table(panel)
        case PanelKind.STATE_TIMELINE:
            return _states()


def _stat(panel: Panel) -> stat.Panel:
    return (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["last"]).values(False))
        .color_mode(BigValueColorMode.BACKGROUND if panel.colour_background else BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE if panel.colour_background else BigValueTextMode.VALUE_AND_NAME)
        .color_scheme(grafana.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )


def _timeseries(panel: Panel) -> timeseries.Panel:
    limited = any(step.value is not None for step in panel.steps)
    lines = GraphThresholdsStyleMode.DASHED if limited else GraphThresholdsStyleMode.OFF
    return (
        timeseries.Panel()
        .line_width(2)
        .fill_opacity(_STACKED_OPACITY if panel.stacked else _LINE_OPACITY)
        .show_points(VisibilityMode.NEVER)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if panel.stacked else StackingMode.NONE))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(lines))
        .color_scheme(grafana.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )


def _states() -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .show_value(VisibilityMode.AUTO)
        .merge_values(True)
        .color_scheme(grafana.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .legend(common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.LIST).calcs([]))
    )


def _table(panel: Panel) -> table.Panel:
    shown = {**panel.columns, "Value": "Amount"}
    options: dict[str, Any] = {
        "excludeByName": {"Time": True, **({} if _has_amount(panel) else {"Value": True})},
        "indexByName": {name: place for place, name in enumerate(shown)},
        "renameByName": shown,
    }
    made = table.Panel().with_transformation(DataTransformerConfig(id_val="organize", options=options))
    if not _has_amount(panel):
        return made
    return made.sort_by([common.TableSortByFieldState().display_name("Amount").desc(True)])


def _has_amount(panel: Panel) -> bool:
    return "currency" in panel.columns and "alertname" not in panel.columns


def _thresholds(steps: tuple[ThresholdStep, ...]) -> grafana.ThresholdsConfig:
    # Grafana would draw its own red line at 80 where no steps are given.
    written = [
        Threshold(value=step.value, color=step.colour.value)
        for step in steps or (ThresholdStep(None, Colour.PLAIN),)
    ]
    return grafana.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(written)


def _mapping(panel: Panel) -> ValueMap:
    options = {
        str(state.value): ValueMappingResult(text=state.text, color=state.colour.value, index=index)
        for index, state in enumerate(panel.value_mappings)
    }
    return ValueMap(options=options)


def _properties(override: FieldOverride) -> Iterator[DynamicConfigValue]:
    if override.colour:
        yield DynamicConfigValue("color", {"mode": "fixed", "fixedColor": override.colour})
    if override.unit:
        yield DynamicConfigValue("unit", override.unit)
    if override.decimals is not None:
        yield DynamicConfigValue("decimals", override.decimals)
    if override.steps:
        yield DynamicConfigValue("thresholds", _thresholds(override.steps).build())

"""What people see: tables and bars on a terminal, pictures, pages."""

from wsekern.report.comparison import comparison_view, execution_view
from wsekern.report.floor import floor_plot
from wsekern.report.load import load_plot, load_view
from wsekern.report.machines import machine_data, machine_view, machines_data, machines_view
from wsekern.report.perplexity import scores_view
from wsekern.report.pictures import comparison_plot, save_figure, validation_plot
from wsekern.report.plan import curves_plot, plan_data, plan_view
from wsekern.report.systems import choice_view, datacentre_view, front_plot, sweep_plot, sweep_view
from wsekern.report.tables import facts_view, families_view, validation_view

__all__ = ["choice_view", "comparison_plot", "comparison_view", "curves_plot", "datacentre_view", "execution_view",
           "facts_view", "families_view", "floor_plot", "front_plot", "load_plot", "load_view", "machine_data",
           "machine_view", "machines_data", "machines_view", "plan_data", "plan_view", "save_figure", "scores_view",
           "sweep_plot", "sweep_view", "validation_plot", "validation_view"]

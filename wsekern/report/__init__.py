"""What people see: tables and bars on a terminal, pictures, pages; and JSON for machines."""

from wsekern.report.comparison import comparison_view, execution_view
from wsekern.report.files import to_json, write_file
from wsekern.report.page import html_page
from wsekern.report.pictures import comparison_plot, save_figure, validation_plot
from wsekern.report.tables import facts_view, machine_view, machines_data, machines_view, validation_view

__all__ = ["comparison_plot", "comparison_view", "execution_view", "facts_view", "html_page", "machine_view",
           "machines_data", "machines_view", "save_figure", "to_json", "validation_plot", "validation_view", "write_file"]

"""The page of each command: what :mod:`wsekern.report.html` renders."""

from wsekern.report.pages.comparison import comparison_page
from wsekern.report.pages.plain import facts_page, html_page, view_page
from wsekern.report.pages.plans import plan_page
from wsekern.report.pages.predictions import choice_page, gpu_page, wafer_page
from wsekern.report.pages.profiles import profile_data, profile_page
from wsekern.report.pages.runs import run_page
from wsekern.report.pages.systems import datacentre_page, load_page, sweep_page
from wsekern.report.pages.validation import validation_page

__all__ = ["choice_page", "comparison_page", "datacentre_page", "facts_page", "gpu_page", "html_page", "load_page",
           "plan_page", "profile_data", "profile_page", "run_page", "sweep_page", "validation_page", "view_page", "wafer_page"]

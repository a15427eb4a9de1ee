"""A Cython and a C consumer of the fabric, built against the installed package and stepped from outside Python."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import wsekern._common
from wsekern.fabric import Fabric, FabricPlan

CYTHON = """
from wsekern.fabric._routing cimport State, fabric_cycle, fabric_deliveries, fabric_offer, fabric_step, fabric_strips
from wsekern.fabric.wsekern_fabric cimport wsk_delivery
from wsekern.wsekern_status cimport WSK_OK

def send_and_listen(State state, int color, unsigned int data):
    cdef const wsk_delivery *words
    cdef int i
    assert fabric_offer(state.fabric, 0, color, data, 0) == 1
    while True:
        assert fabric_step(state.fabric) == WSK_OK
        for i in range(fabric_strips(state.fabric)):
            if fabric_deliveries(state.fabric, i, &words):
                return fabric_cycle(state.fabric), words[0].pe, words[0].data
"""

C = """
#include <Python.h>
#include "wsekern_fabric.h"
#include "_routing_api.h"

static PyObject *strips(PyObject *self, PyObject *unused)
{
    if (import_wsekern__fabric___routing() < 0)
        return NULL;
    return PyLong_FromLong(fabric_step != NULL && fabric_offer != NULL);
}

static PyMethodDef methods[] = { { "has_step", strips, METH_NOARGS, "" }, { NULL, NULL, 0, NULL } };
static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, "c_consumer", "", -1, methods };
PyMODINIT_FUNC PyInit_c_consumer(void) { return PyModule_Create(&module); }
"""

CMAKE = """
cmake_minimum_required(VERSION 3.20...4.0)
project(consumer LANGUAGES C)
find_package(wsekern 0.1 CONFIG REQUIRED)
if(NOT EXISTS "${wsekern_PXD_DIR}/wsekern/fabric/_routing.pxd")
  message(FATAL_ERROR "no declarations in ${wsekern_PXD_DIR}")
endif()
add_library(c_consumer MODULE c_consumer.c)
target_include_directories(c_consumer PRIVATE ${PYTHON_INCLUDE})
target_link_libraries(c_consumer PRIVATE wsekern::headers)
set_target_properties(c_consumer PROPERTIES PREFIX "" SUFFIX ${EXTENSION_SUFFIX})
"""

INSTALLED = Path(wsekern._common.__file__).parent
INCLUDE = INSTALLED / "include"


def compile_and_load(source: Path):
    target = source.with_name(source.stem + EXTENSION_SUFFIXES[0])
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", f"-I{sysconfig.get_path('include')}", f"-I{INCLUDE}", str(source),
                    "-o", str(target)], check=True, capture_output=True, text=True)
    return load(target)


def load(target: Path):
    spec = importlib.util.spec_from_file_location(target.name.split(".")[0], target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_cython_consumer_steps_the_fabric(tmp_path):
    source = tmp_path / "cython_consumer.pyx"
    source.write_text(CYTHON)
    subprocess.run([sys.executable, "-m", "cython", "-3", "-I", str(INSTALLED.parent), str(source)], check=True,
                   capture_output=True, text=True)
    module = compile_and_load(source.with_suffix(".c"))
    plan = FabricPlan(5, 1, "wse2")
    plan.paint(4, "RAMP", "EAST")
    plan.paint(4, "WEST", "EAST", x=1, width=3)
    plan.paint(4, "WEST", "RAMP", x=4)
    assert module.send_and_listen(Fabric(plan).state, 4, np.uint32(77)) == (2 + 4 + 2, 4, 77)


@pytest.mark.slow
def test_c_consumer_finds_the_functions(tmp_path):
    source = tmp_path / "c_consumer.c"
    source.write_text(C)
    assert compile_and_load(source).has_step() == 1


@pytest.mark.slow
def test_cmake_consumer_finds_the_package(tmp_path):
    (found,) = entry_points(group="cmake.root", name="wsekern")
    package = files(found.value)
    roots = ";".join(os.fspath(path) for path in getattr(package, "_paths", [package]))  # two where the install is editable
    (tmp_path / "c_consumer.c").write_text(C)
    (tmp_path / "CMakeLists.txt").write_text(CMAKE)
    for command in (["cmake", "-G", "Ninja", "-S", ".", "-B", "build", f"-Dwsekern_ROOT={roots}",
                     f"-DPYTHON_INCLUDE={sysconfig.get_path('include')}", f"-DEXTENSION_SUFFIX={EXTENSION_SUFFIXES[0]}"],
                    ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert load(tmp_path / "build" / f"c_consumer{EXTENSION_SUFFIXES[0]}").has_step() == 1

# For CMake projects that embed the kernels: find_package(wsekern CONFIG) gives the headers as target wsekern::headers, and
# wsekern_PXD_DIR for `cython -I`. scikit-build-core finds this file by itself (entry point cmake.root); others are given
# -Dwsekern_ROOT=FOLDER, the folder of the installed package.
get_filename_component(wsekern_package "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
get_filename_component(wsekern_PXD_DIR "${wsekern_package}/.." ABSOLUTE)
if(NOT TARGET wsekern::headers)
  add_library(wsekern::headers INTERFACE IMPORTED)
  set_target_properties(wsekern::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${wsekern_package}/include")
endif()
unset(wsekern_package)

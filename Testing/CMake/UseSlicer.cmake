# What the stand-in offers after include(${Slicer_USE_FILE}).
#
# Every call becomes a line of recorded.txt in the build folder: the command and its arguments, separated by tabs.

set(SACB_RECORD "${CMAKE_BINARY_DIR}/recorded.txt")
file(WRITE "${SACB_RECORD}" "")

function(sacb_record)
  list(JOIN ARGV "\t" line)
  file(APPEND "${SACB_RECORD}" "${line}\n")
endfunction()

# Slicer looks for threads, Qt and ITK here, which needs compilers to be known.
get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
foreach(language C CXX)
  if(NOT language IN_LIST languages)
    message(FATAL_ERROR "Slicer needs the language ${language}, which project() has not enabled.")
  endif()
endforeach()

if(NOT DEFINED EXTENSION_NAME)
  set(EXTENSION_NAME "${PROJECT_NAME}")
endif()
set(EXTENSION_README_FILE "of-slicer-itself")
set(EXTENSION_LICENSE_FILE "of-slicer-itself")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
option(BUILD_TESTING "Configure the tests" ON)

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(SACB_MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(SACB_MODULE_UNPARSED_ARGUMENTS OR NOT SACB_MODULE_NAME)
    message(FATAL_ERROR "A module needs a NAME and takes no ${SACB_MODULE_UNPARSED_ARGUMENTS}.")
  endif()
  sacb_record(slicerMacroBuildScriptedModule ${ARGN})
  sacb_copy_files(${SACB_MODULE_NAME} Script "${SACB_MODULE_SCRIPTS}")
  sacb_copy_files(${SACB_MODULE_NAME} Resource "${SACB_MODULE_RESOURCES}")
  # Each call installs the whole module folder of the build, whatever it put there itself.
  install(DIRECTORY "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/"
    DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}" USE_SOURCE_PERMISSIONS)
  if(BUILD_TESTING AND SACB_MODULE_WITH_GENERIC_TESTS)
    sacb_record(generic_tests ${SACB_MODULE_NAME})
  endif()
endmacro()

# A relative path keeps its folders in the destination, wherever they lead; the real macro does no better.
function(sacb_copy_files module kind files)
  set(copies "")
  foreach(file IN LISTS files)
    if(IS_ABSOLUTE "${file}")
      message(FATAL_ERROR "${file}: Slicer takes an absolute path relative to the build folder.")
    endif()
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    if(NOT EXISTS "${source}")
      message(FATAL_ERROR "${module} lists ${file}, which does not exist.")
    endif()
    set(copy "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}/${file}")
    add_custom_command(OUTPUT "${copy}" DEPENDS "${source}"
      COMMAND ${CMAKE_COMMAND} -E copy "${source}" "${copy}")
    list(APPEND copies "${copy}")
  endforeach()
  if(copies)
    add_custom_target(Copy${module}Python${kind}Files ALL DEPENDS ${copies})
  endif()
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(PARSE_ARGV 0 SACB_TEST "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS")
  if(SACB_TEST_UNPARSED_ARGUMENTS OR NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${SACB_TEST_SCRIPT}")
    message(FATAL_ERROR "There is no test ${SACB_TEST_SCRIPT} ${SACB_TEST_UNPARSED_ARGUMENTS}.")
  endif()
  sacb_record(slicer_add_python_unittest ${ARGV})
endfunction()

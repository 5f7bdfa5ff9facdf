# Slicer packs an extension only when these hold, and writes its description from the variables recorded below.
if(NOT EXTENSION_NAME STREQUAL PROJECT_NAME)
  message(FATAL_ERROR "Slicer packs nothing when EXTENSION_NAME differs from the project's name.")
endif()
foreach(variable EXTENSION_README_FILE EXTENSION_LICENSE_FILE)
  if(NOT EXISTS "${${variable}}")
    message(FATAL_ERROR "${variable} names no file: ${${variable}}")
  endif()
endforeach()

foreach(variable NAME HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS STATUS DEPENDS
    BUILD_SUBDIRECTORY ENABLED README_FILE LICENSE_FILE)
  if(EXTENSION_${variable} STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${variable} is not set.")
  endif()
  sacb_record(EXTENSION_${variable} "${EXTENSION_${variable}}")
endforeach()
sacb_record(Slicer_EXTENSION_CPACK)

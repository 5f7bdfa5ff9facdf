# Stands in for an installed Slicer's build tree, so that the extension's half of CMakeLists.txt can be tested.
# It refuses what Slicer's macros refuse, lays files out as they do and writes down every call; see UseSlicer.cmake.

set(Slicer_VERSION 5.12)
set(Slicer_REVISION 00000)
set(Slicer_USE_PYTHONQT ON)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION}/qt-scripted-modules")

set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/ExtensionGenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionCPack.cmake")

# What `cmake --install` puts where: both programs, the C++ client library with
# its package for find_package(gruserve), the contract as .proto files, and the Python package.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gruserve)

install(TARGETS gruserve-server gruserve RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/proto/gruserve ${PROJECT_SOURCE_DIR}/proto/grpc
  DESTINATION ${CMAKE_INSTALL_DATADIR}/gruserve/proto FILES_MATCHING PATTERN "*.proto")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/client/python/gruserve DESTINATION ${CMAKE_INSTALL_DATADIR}/gruserve/python
  FILES_MATCHING PATTERN "*.py")
install(PROGRAMS ${PROJECT_SOURCE_DIR}/client/python/gruserve-export
  DESTINATION ${CMAKE_INSTALL_DATADIR}/gruserve/python)

# A consumer includes "gruserve/client/client.h"; the headers include one another
# as they do in the source tree, "client/tensor.h".
target_include_directories(gruserve_client INTERFACE
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/gruserve>)
install(TARGETS gruserve_client gruserve_proto EXPORT gruserveTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
file(GLOB client_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/client/*.h)
install(FILES ${client_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gruserve/client)
install(DIRECTORY ${PROJECT_BINARY_DIR}/proto/gruserve/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gruserve
  FILES_MATCHING PATTERN "*.pb.h" PATTERN "CMakeFiles" EXCLUDE)

install(EXPORT gruserveTargets NAMESPACE gruserve:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/deploy/cmake/gruserveConfig.cmake.in
  ${PROJECT_BINARY_DIR}/gruserveConfig.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break: only the same one fits.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gruserveConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gruserveConfig.cmake ${PROJECT_BINARY_DIR}/gruserveConfigVersion.cmake
  DESTINATION ${package_dir})

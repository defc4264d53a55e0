# What `cmake --install` puts where.
install(TARGETS gruserve-server gruserve RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/proto/gruserve DESTINATION ${CMAKE_INSTALL_DATADIR}/gruserve/proto
  FILES_MATCHING PATTERN "*.proto")

# SPDX-License-Identifier: Apache-2.0
#
# What `cmake --install` and `cpack` put where. Two packages: gtmd (daemon, unit, geography tool) and gtmctl.
if(NOT TARGET gtmd OR NOT TARGET gtmctl)
  return()
endif()

install(FILES deploy/systemd/gtmd.service DESTINATION lib/systemd/system COMPONENT gtmd)
install(FILES deploy/systemd/gtm.sysusers DESTINATION lib/sysusers.d RENAME gtm.conf COMPONENT gtmd)
install(PROGRAMS deploy/geoip-update deploy/make-certs DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/gtm COMPONENT gtmd)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}d RENAME copyright COMPONENT gtmd)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR}ctl RENAME copyright COMPONENT gtmctl)

# gtmctl(1) goes with its program, all else with the daemon.
file(GLOB man_pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/deploy/man/*.[1-8])
foreach(page ${man_pages})
  string(REGEX REPLACE ".*\\.([1-8])$" "\\1" section ${page})
  get_filename_component(file_name ${page} NAME)
  set(component gtmd)
  if(file_name MATCHES "^gtmctl")
    set(component gtmctl)
  endif()
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT ${component})
endforeach()

# Completion, made by gtmctl itself, where each shell looks for it.
if(NOT CMAKE_CROSSCOMPILING)
  set(completions ${CMAKE_BINARY_DIR}/completions)
  foreach(shell bash zsh fish)
    add_custom_command(
      OUTPUT ${completions}/${shell}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
      COMMAND gtmctl completion ${shell} > ${completions}/${shell}
      DEPENDS gtmctl
      VERBATIM)
  endforeach()
  add_custom_target(completions ALL DEPENDS ${completions}/bash ${completions}/zsh ${completions}/fish)
  install(FILES ${completions}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME gtmctl
          COMPONENT gtmctl)
  install(FILES ${completions}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _gtmctl
          COMPONENT gtmctl)
  install(FILES ${completions}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME gtmctl.fish
          COMPONENT gtmctl)
endif()

# Examples, where there are any.
if(EXISTS ${CMAKE_SOURCE_DIR}/deploy/examples)
  install(DIRECTORY deploy/examples DESTINATION ${CMAKE_INSTALL_DOCDIR}d COMPONENT gtmd)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gtm)
set(CPACK_PACKAGE_VENDOR gtm)
set(CPACK_PACKAGE_CONTACT "gtm maintainers <root@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL gtmd gtmctl)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_GTMD_PACKAGE_NAME gtmd)
set(CPACK_DEBIAN_GTMCTL_PACKAGE_NAME gtmctl)
# The unit reloads through gtmctl.
set(CPACK_DEBIAN_GTMD_PACKAGE_DEPENDS "gtmctl (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_GTMD_PACKAGE_RECOMMENDS libloc-database)
set(CPACK_DEBIAN_GTMD_PACKAGE_SUGGESTS "location, python3, curl")
set(CPACK_COMPONENT_GTMD_DESCRIPTION
    "gtmd answers for a zone as an authoritative name server, checks the servers behind its names,\nand sends each user to the nearest healthy region.")
set(CPACK_COMPONENT_GTMCTL_DESCRIPTION
    "gtmctl shows what gtmd believes and serves, explains single answers, and carries\nan operator's orders.")

# CPack takes maintainer scripts by their final name.
set(scripts ${CMAKE_BINARY_DIR}/package-gtmd)
foreach(script postinst prerm postrm)
  configure_file(deploy/debian/gtmd.${script} ${scripts}/${script} COPYONLY FILE_PERMISSIONS
                 OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  list(APPEND gtmd_control ${scripts}/${script})
endforeach()
set(CPACK_DEBIAN_GTMD_PACKAGE_CONTROL_EXTRA "${gtmd_control}")
include(CPack)

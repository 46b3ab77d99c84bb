#!/bin/sh
# Stands before the real program on dpkg's PATH while set-up installs packages (see ../debian.mjs):
# a package that brings a service must not start it here.
exit 0

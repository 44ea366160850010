import DrayCommand
import Glibc

exit(rsyncServerProgram(processArguments()))

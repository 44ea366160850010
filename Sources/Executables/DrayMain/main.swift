import DrayCommand
import Glibc

exit(rsyncMain(processArguments()))

import DrayCommand
import Glibc

exit(rsyncClientMain(processArguments()))

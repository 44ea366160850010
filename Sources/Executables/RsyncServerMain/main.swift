import DrayCommand
import Glibc

exit(rsyncServerCommand())

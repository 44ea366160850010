import DrayMigrate

MigrateCommand.main()

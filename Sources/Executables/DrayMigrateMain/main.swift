import DrayMigrate

migrateMain()

-- What a service key is good for. Those that were made before are for files.
ALTER TABLE service_keys ADD COLUMN scope TEXT NOT NULL DEFAULT 'files' CHECK (scope IN ('files', 'admin'));

//! `nginx`, as one would use it to hand out and take files: `sendfile` one way, WebDAV's `PUT` the other.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::{Process, find_program, free_address};
use crate::raw_http::Request;

/// nginx, running.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Nginx {
    /// Starts it on the files below `folder/files`.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not start.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder.join("files"))?;
        let address = free_address()?;
        let config = folder.join("nginx.conf");
        std::fs::write(&config, configuration(folder, address))?;
        let mut command = Command::new(find_program("nginx")?);
        command.arg("-p").arg(folder).arg("-c").arg(&config);
        let mut process = Process::start(&mut command, &folder.join("nginx.log"))?;
        process.listens(address).await?;
        Ok(Self { address, _process: process })
    }

    /// A request for a file.
    pub(crate) fn request(&self, method: &'static str, name: &str) -> Request {
        Request { address: self.address, method, path: format!("/{name}"), headers: Vec::new() }
    }
}

fn configuration(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    // One process for each processor, as the packages of the systems have it. Its children end with it: in the
    // foreground there is none but the workers.
    format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n access_log off;\n sendfile on;\n tcp_nopush on;\n keepalive_requests 100000000;\n\
         client_max_body_size 0;\n client_body_temp_path {folder}/body;\n proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\n uwsgi_temp_path {folder}/uwsgi;\n scgi_temp_path {folder}/scgi;\n\
         server {{ listen {address}; root {folder}/files; location / {{ dav_methods PUT DELETE; }} }}\n}}\n"
    )
}

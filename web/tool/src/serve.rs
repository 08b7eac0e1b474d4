//! A server of static files, for this machine only.

use std::fs::File;
use std::path::{Path, PathBuf};

use tiny_http::{Header, Method, Request, Response, Server};

use crate::Result;

/// Threads that answer. A browser asks for several files at the same time.
const THREADS: usize = 4;

/// Serves a folder until the process ends. Port 0 is a free port.
pub fn serve(folder: &Path, port: u16) -> Result<()> {
    let Ok(folder) = folder.canonicalize() else {
        return Err(format!("{} is missing: run scripts/web build", folder.display()).into());
    };
    let server = Server::http(("127.0.0.1", port))
        .map_err(|error| format!("port {port}: {error}; --port selects another"))?;
    let port = server.server_addr().to_ip().map_or(port, |address| address.port());
    println!("http://127.0.0.1:{port}/");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for request in server.incoming_requests() {
                    answer(&folder, request);
                }
            });
        }
    });
    Ok(())
}

fn answer(folder: &Path, request: Request) {
    let refuse = |code: u16, text: &str| Response::from_string(text).with_status_code(code);
    let found = find(folder, request.url());
    // A browser that closes its connection is no fault of the server.
    _ = match (request.method(), found) {
        (Method::Get | Method::Head, Some((file, mime))) => {
            let response = Response::from_file(file);
            let headers = [("Content-Type", mime), ("Cache-Control", "no-cache")];
            let headers = headers.iter().filter_map(|(name, value)| {
                Header::from_bytes(name.as_bytes(), value.as_bytes()).ok()
            });
            request.respond(headers.fold(response, Response::with_header))
        }
        (Method::Get | Method::Head, None) => request.respond(refuse(404, "not found\n")),
        _ => request.respond(refuse(405, "only GET and HEAD\n")),
    };
}

/// Finds the file of a URL inside a folder, and its type.
fn find(folder: &Path, url: &str) -> Option<(File, &'static str)> {
    let path = resolve(folder, url)?;
    let mime = match path.extension()?.to_str()? {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => "application/octet-stream",
    };
    Some((File::open(path).ok()?, mime))
}

/// Returns the path of a URL inside a folder; `None` for files outside of it.
fn resolve(folder: &Path, url: &str) -> Option<PathBuf> {
    let path = url.split(['?', '#']).next()?.trim_start_matches('/');
    // No name on the page needs an escape such as %20.
    let is_plain = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.starts_with('.') && part.chars().all(plain)
    };
    if !path.split('/').all(is_plain) {
        return None;
    }
    let path = folder.join(path);
    let path = if path.is_dir() { path.join("index.html") } else { path };
    // A link may lead out of the folder.
    path.canonicalize().ok().filter(|path| path.starts_with(folder) && path.is_file())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{find, resolve};

    #[test]
    fn only_files_of_the_folder_are_found() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().expect("this project");
        for url in ["/Cargo.toml", "/Cargo.toml?a=1#b", "/src/main.rs"] {
            assert!(resolve(&folder, url).is_some(), "{url}");
        }
        for url in [
            "/../package.json",
            "/src/../../package.json",
            "/%2e%2e/package.json",
            "/..%2fpackage.json",
            "//etc/passwd",
            "/src\\..\\..\\package.json",
            "/.cargo-ok",
            "/missing.js",
            "/",
        ] {
            assert!(resolve(&folder, url).is_none(), "{url}");
        }
    }

    #[test]
    fn browsers_get_the_types_that_they_require() {
        let folder = std::env::temp_dir().join(format!("wgpu-rnn-web-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let folder = folder.canonicalize().expect("it exists");
        for (name, mime) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.wasm", "application/wasm"),
            ("a.safetensors", "application/octet-stream"),
        ] {
            std::fs::write(folder.join(name), "x").expect("a small file");
            assert_eq!(find(&folder, &format!("/{name}")).map(|(_, mime)| mime), Some(mime));
        }
        assert!(find(&folder, "/").is_some(), "index.html");
        std::fs::remove_dir_all(folder).expect("the temporary folder");
    }
}

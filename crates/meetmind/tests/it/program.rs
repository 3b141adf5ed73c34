//! Starting the built program and talking to it, with nothing but the standard library.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program with an empty environment, in a folder of its own.
pub(crate) fn meetmind(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meetmind"));
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("MEETMIND_DATA_DIR", folder.join("data"));
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running server; killed when the test forgets it.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) lines: Vec<String>,
    pub(crate) address: String,
}

impl Serving {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::with(folder, |_| {})
    }

    /// Starts with more settings and waits for the first two lines.
    pub(crate) fn with(folder: &Path, settings: impl FnOnce(&mut Command)) -> Self {
        let mut command = meetmind(folder);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log")).expect("a log"));
        settings(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let mut reader = BufReader::new(child.stdout.take().expect("its output"));
        let mut lines = Vec::new();
        for _ in 0..2 {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            lines.push(line.trim_end().to_owned());
        }
        // Read on beside the test, so that the program never waits for the pipe.
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let address = lines[0]
            .strip_prefix("listening on http")
            .and_then(|rest| rest.trim_start_matches('s').strip_prefix("://"))
            .unwrap_or_else(|| {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("the first line is `{}`; the log: {log}", lines[0])
            })
            .to_owned();
        Self {
            child,
            lines,
            address,
        }
    }

    pub(crate) fn http(&self) -> Http {
        Http::connect(&self.address)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a small number");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, signal).expect("it lives");
    }

    /// Ends it as an operator does; gives its exit code and how long it took.
    pub(crate) fn terminate(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().expect("it ends");
        (status.code(), started.elapsed())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection that is kept open.
pub(crate) struct Http {
    reader: BufReader<TcpStream>,
    address: String,
    pub(crate) token: String,
}

impl Http {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).expect("a socket");
        Self {
            reader: BufReader::new(stream),
            address: address.to_owned(),
            token: String::new(),
        }
    }

    /// Status and body; an error when the connection breaks.
    pub(crate) fn try_send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<(u16, String)> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        if !self.token.is_empty() {
            request += &format!("authorization: Bearer {}\r\n", self.token);
        }
        if !body.is_empty() {
            request += &format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
        }
        request += "\r\n";
        request += body;
        self.reader.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        self.reader.read_line(&mut status)?;
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let code: u16 = code.ok_or_else(broken)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| broken())?;
            }
        }
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok((code, String::from_utf8_lossy(&bytes).into_owned()))
    }

    pub(crate) fn get(&mut self, path: &str) -> (u16, String) {
        self.try_send("GET", path, "").expect("an answer")
    }

    /// Posts JSON; gives `data` of the envelope and fails on any refusal.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Value {
        let (code, text) = self
            .try_send("POST", path, &body.to_string())
            .expect("an answer");
        assert!((200..300).contains(&code), "POST {path}: {code} {text}");
        serde_json::from_str::<Value>(&text).expect("JSON")["data"].clone()
    }

    /// Gets JSON; gives `data` of the envelope and fails on any refusal.
    pub(crate) fn data(&mut self, path: &str) -> Value {
        let (code, text) = self.get(path);
        assert_eq!(code, 200, "GET {path}: {text}");
        serde_json::from_str::<Value>(&text).expect("JSON")["data"].clone()
    }
}

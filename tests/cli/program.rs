//! Running the program.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a run of the program left.
pub struct Ran {
    /// The arguments, for messages.
    what: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program with an environment that says nothing about colours or adapters.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgpu-rnn"));
    command.args(args).stdin(Stdio::null());
    for name in
        ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_LOG", "WGPU_ADAPTER_NAME", "WGPU_BACKEND"]
    {
        command.env_remove(name);
    }
    command
}

/// The program on a machine that has no adapter.
pub fn without_adapters(args: &[&str]) -> Command {
    let mut command = command(args);
    command
        .env("WGPU_BACKEND", "noop")
        .env("VK_DRIVER_FILES", "/dev/null")
        .env("VK_ICD_FILENAMES", "/dev/null");
    command
}

/// Runs the program with these arguments.
pub fn wgpu_rnn(args: &[&str]) -> Ran {
    finish(command(args))
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Ran {
    let output = command.output().expect("the program starts");
    Ran::new(&command, output)
}

impl Ran {
    pub fn new(command: &Command, output: Output) -> Self {
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        let ran = Self {
            what: args.join(" "),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!ran.stderr.contains("panicked"), "a panic: {}", ran.told());
        ran
    }

    /// Everything that helps to understand a failed assertion.
    pub fn told(&self) -> String {
        let Self { what, code, stdout, stderr } = self;
        format!("`wgpu-rnn {what}` ended with {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }

    /// Fails unless the exit status is this one.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit status: {}", self.told());
        self
    }

    /// Fails unless the program failed with all of this on stderr and nothing on stdout.
    #[track_caller]
    pub fn refused(self, parts: &[&str]) -> Self {
        let ran = self.ended(2);
        for part in parts {
            assert!(ran.stderr.contains(part), "'{part}' is not on stderr: {}", ran.told());
        }
        assert_eq!(ran.stdout, "", "a refusal belongs on stderr: {}", ran.told());
        ran
    }

    /// Fails unless stdout has all of this.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "'{part}' is not on stdout: {}", self.told());
        }
        self
    }

    /// Stdout, which must be JSON and nothing else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.told()))
    }
}

/// Fails unless `value` is an object that has all of these keys.
#[track_caller]
pub fn assert_keys(what: &str, value: &Value, keys: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("{what} is no object: {value}"));
    for key in keys {
        assert!(object.contains_key(*key), "{what} lacks '{key}': {value}");
    }
}

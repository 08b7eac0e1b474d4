//! Networks of a user against their definition, and case files that a user writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use wgpu_rnn::diagnostics::bench::{Attempt, Options, Workload};
use wgpu_rnn::diagnostics::compare::Tolerance;
use wgpu_rnn::diagnostics::verify::{self, Status};
use wgpu_rnn::diagnostics::{
    CaseWriter, DeviceMatch, ReferenceTensor, SIZES, Subject, assert_matches, matches,
};
use wgpu_rnn::internals::diagnostics::case::{CaseFile, Content};
use wgpu_rnn::variant::Variant;
use wgpu_rnn::{Config, Device, Error, Kind, Params, Result, Rnn, State, Tensor, WeightType};

#[path = "common/seeded.rs"]
mod seeded;

fn params(config: &Config) -> Params {
    Params::init(config, 60).expect("a valid configuration")
}

fn configs() -> Vec<Config> {
    let mut configs: Vec<Config> = Kind::ALL.iter().map(|&kind| Config::new(kind, 3, 4)).collect();
    configs.push(Config::lstm(3, 5).proj_size(2).num_layers(2).bidirectional(true));
    configs.push(Config::gru(2, 3).batch_first(true).bias(false));
    configs.push(Config::lstm(3, 4).reverse(true));
    configs
}

/// A network whose device returns one wrong value, or too few results.
struct Wrong {
    params: Params,
    results: usize,
    error: f32,
}

impl Subject for Wrong {
    type Input = <Params as Subject>::Input;

    fn title(&self) -> String {
        "a wrong network".to_owned()
    }

    fn draw(&self, seq_len: usize, batch: usize, seed: u64) -> Result<Self::Input> {
        self.params.draw(seq_len, batch, seed)
    }

    fn reference(&self, input: &Self::Input) -> Result<Vec<ReferenceTensor>> {
        self.params.reference(input)
    }

    fn run(&self, device: &Device, inputs: &[Self::Input]) -> Result<Vec<Vec<Tensor>>> {
        let mut all = self.params.run(device, inputs)?;
        all.iter_mut().for_each(|results| results.truncate(self.results));
        // Step 6, row 2, unit 3 of the size T=7, B=3.
        all[2][0].data_mut()[(6 * 3 + 2) * 4 + 3] += self.error;
        Ok(all)
    }
}

fn wrong(results: usize, error: f32) -> Wrong {
    Wrong { params: params(&Config::gru(3, 4)), results, error }
}

/// The text of the panic.
fn panic_of(subject: &Wrong, devices: Vec<Device>) -> String {
    let call = || assert_matches(subject, devices, Tolerance::F32);
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("it asserts something wrong");
    *panic.downcast::<String>().expect("a text")
}

#[test]
fn modules_match_their_definition() {
    for config in configs() {
        assert_matches(&params(&config), [Device::cpu()], Tolerance::F32);
    }
    let subject = wrong(2, 0.0);
    let found = matches(&subject, [Device::cpu(), Device::cpu()], Tolerance::F32, SIZES);
    let found = found.expect("it runs");
    assert!(found.len() == 2 && found.iter().all(DeviceMatch::agrees), "{found:?}");
    // The values of the output and of h_n, at each size.
    let values: usize = SIZES.iter().map(|(steps, rows)| (steps + 1) * rows * 4).sum();
    let comparison = found[1].comparison.as_ref().expect("it ran");
    assert_eq!(comparison.count, values, "{}", found[1]);
}

#[test]
fn a_wrong_value_panics_with_its_place() {
    let text = panic_of(&wrong(2, 0.5), vec![Device::cpu()]);
    for part in [
        "a wrong network does not match its definition",
        "cpu",
        "1 of 448 elements out of tolerance",
        "worst output (T=7, B=3)[6, 2, 3]: got ",
        ", want ",
    ] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    let text = panic_of(&wrong(1, 0.0), vec![Device::cpu()]);
    assert!(text.contains("expected 2 results, got 1"), "{text}");
    let text = panic_of(&wrong(2, 0.0), Vec::new());
    assert!(text.contains("there is no device"), "{text}");
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let subject = params(&Config::gru(3, 4));
    let at = |sizes: &[(usize, usize)]| matches(&subject, [Device::cpu()], Tolerance::F32, sizes);
    assert!(matches!(at(&[]), Err(Error::Option(_))), "no sizes");
    assert!(matches!(at(&[(0, 1)]), Err(Error::Shape(_))), "no steps");
    assert!(at(&[(usize::MAX, 2)]).is_err(), "more values than any memory holds");
}

/// A chaotic network disagrees: the benchmark has the weights that were given.
#[test]
fn a_benchmark_has_the_weights_of_a_user() {
    let options = Options::default().repetitions(1).budget(Duration::from_millis(100));
    let device = Device::cpu();
    let measure = |params: &Params, stored| {
        let workload = Workload::of_params(params, (33, 2), stored).expect("a small network");
        let attempt = workload.measure(&device, device.calibration(), &options);
        match attempt.expect("the CPU runs it") {
            Attempt::Measured(row) => (row.name, row.agrees),
            other => panic!("{other:?}"),
        }
    };
    let tame = params(&Config::gru(3, 4).batch_first(true));
    assert_eq!(measure(&tame, WeightType::F32), ("GRU(3, 4) T=33 B=2".to_owned(), Some(true)));
    let config = Config::rnn(3, 64);
    let mut seed = 0;
    let chaotic = Params::from_fn(&config, |_, shape| {
        seed += 1;
        Ok(seeded::tensor(seed, shape, 1.0).into_data())
    });
    assert_eq!(measure(&chaotic.expect("as many values"), WeightType::F32).1, Some(false));
}

fn read(path: &std::path::Path) -> CaseFile {
    CaseFile::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn case_files_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (at, config) in configs().iter().enumerate() {
        for unbatched in [false, true] {
            let path = folder.path().join(format!("case-{at}-{unbatched}.safetensors"));
            let params = params(config);
            let mut shape = if config.batch_first { vec![2, 5] } else { vec![5, 2] };
            if unbatched {
                shape = vec![5];
            }
            shape.push(config.input_size);
            let input = seeded::tensor(61, &shape, 1.0);
            let rnn = Rnn::new(&Device::cpu(), &params).expect("it fits");
            let (_, state) = rnn.forward(&input, None).expect("it runs");
            let lengths = (!unbatched).then_some(&[2, 5][..]);
            let mut writer = CaseWriter::new(&params, &input)
                .state(&state)
                .tolerance(Tolerance::new(2e-5, 1e-6));
            if let Some(lengths) = lengths {
                writer = writer.lengths(lengths);
            }
            writer.write(&path).unwrap_or_else(|error| panic!("{config}: {error}"));
            let file = read(&path);
            assert_eq!(file.id, format!("case-{at}-{unbatched}"));
            assert_eq!(file.tolerance, Tolerance::new(2e-5, 1e-6));
            let Content::Case(case) = file.content else { panic!("{:?}", file.content) };
            assert_eq!(case.params, params, "{config}");
            assert_eq!((&case.input, case.state.as_ref()), (&input, Some(&state)), "{config}");
            assert_eq!(case.lengths.as_deref(), lengths, "{config}");
            let report = verify::run(&Device::cpu(), &path);
            assert_eq!(report.status, Status::Pass, "{config}: {:?}", report.reason);
            let tensors = 2 + usize::from(config.kind == Kind::Lstm);
            assert_eq!(case.expected.len(), tensors, "{config}");
        }
    }
}

#[test]
fn expected_results_of_a_case_are_kept_or_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("case.safetensors");
    let params = params(&Config::gru(3, 4));
    let input = seeded::tensor(62, &[5, 2, 3], 1.0);
    let rnn = Rnn::new(&Device::cpu(), &params).expect("it fits");
    let (mut output, state) = rnn.forward(&input, None).expect("it runs");
    let write = |output: &Tensor, state: &State| {
        CaseWriter::new(&params, &input).expected(output, state).write(&path)
    };
    write(&output, &state).expect("results of a device");
    assert_eq!(verify::run(&Device::cpu(), &path).status, Status::Pass, "the results of the CPU");
    output.data_mut()[7] += 1e-3;
    write(&output, &state).expect("other results");
    let report = verify::run(&Device::cpu(), &path);
    assert_eq!(report.status, Status::Fail, "a wrong result");
    assert!(report.reason.is_some_and(|reason| reason.contains("worst output[0, 1, 3]")));
    let before = std::fs::read(&path).expect("the case");
    let short = State { h: Tensor::zeros([1, 2, 3]).expect("6 values"), c: None };
    let error = write(&output, &short).expect_err("h is too short");
    assert!(matches!(error, Error::Shape(_)), "{error}");
    let error = CaseWriter::new(&params, &input).state(&short).write(&path).expect_err("as above");
    assert!(matches!(error, Error::Shape(_)), "{error}");
    let mut clipped = Variant::default();
    clipped.gate_clip = Some(1.0);
    let clipped = params.with(|config| config.variant(clipped)).expect("a clipped GRU");
    let error = CaseWriter::new(&clipped, &input).write(&path).expect_err("PyTorch lacks it");
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    assert_eq!(std::fs::read(&path).expect("the case"), before, "a refusal writes nothing");
}

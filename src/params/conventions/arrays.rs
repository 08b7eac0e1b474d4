//! The arrays below one prefix.

use std::ops::Range;

use crate::error::{Error, Result, StateDictProblem};
use crate::params::state_dict::StateDict;
use crate::params::strict::{Rest, dtype_problem};
use crate::tensor::reserved;

/// The arrays below a prefix, which must all be read.
pub struct Arrays<'a> {
    file: &'a StateDict,
    prefix: &'a str,
    /// The class that the errors name.
    module: &'static str,
    read: Vec<String>,
}

impl<'a> Arrays<'a> {
    pub fn new(file: &'a StateDict, prefix: &'a str, module: &'static str) -> Self {
        Self { file, prefix, module, read: Vec::new() }
    }

    /// Returns the shape of an array; `None` without the array.
    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.file.get(&format!("{}{name}", self.prefix)).map(|entry| entry.shape())
    }

    /// Returns an error about the arrays.
    pub fn refuse(&self, message: impl std::fmt::Display) -> Error {
        let message = format!("the arrays below '{}': {message}", self.prefix);
        Error::File { path: self.file.path().to_owned(), message }
    }

    fn problem(&self, problem: StateDictProblem) -> Error {
        Error::StateDict { module: self.module, problems: vec![problem], advice: Vec::new() }
    }

    /// Reads an array of this shape.
    ///
    /// # Errors
    /// [`Error::StateDict`] when it is missing, or has another shape or a type that is not read.
    pub fn vector(&mut self, name: &str, expected: &[usize]) -> Result<Vec<f32>> {
        let name = format!("{}{name}", self.prefix);
        let Some(entry) = self.file.get(&name) else {
            return Err(self.problem(StateDictProblem::Missing { name }));
        };
        if let Some(problem) = dtype_problem(&name, entry) {
            return Err(self.problem(problem));
        }
        if entry.shape() != expected {
            let (expected, found) = (expected.to_vec(), entry.shape().to_vec());
            return Err(self.problem(StateDictProblem::WrongShape { name, expected, found }));
        }
        let values = self.file.f32(&name)?;
        self.read.push(name);
        Ok(values)
    }

    /// Checks the shape of an array that was read as a matrix.
    ///
    /// # Errors
    /// The errors of [`vector`](Self::vector).
    pub fn check(&mut self, name: &str, found: &Matrix, expected: [usize; 2]) -> Result<()> {
        if [found.rows, found.columns] == expected {
            return Ok(());
        }
        self.vector(name, &expected).map(drop)
    }

    /// Reads an array of two axes, whatever their sizes.
    ///
    /// # Errors
    /// The errors of [`vector`](Self::vector); [`Error::File`] for another number of axes.
    pub fn matrix(&mut self, name: &str) -> Result<Matrix> {
        let (rows, columns) = match self.shape(name) {
            Some(&[rows, columns]) if rows > 0 && columns > 0 => (rows, columns),
            Some(other) => {
                return Err(self.refuse(format!("{name} has shape {other:?}: expected a matrix")));
            }
            // The text of a missing array.
            None => (0, 0),
        };
        Ok(Matrix { rows, columns, values: self.vector(name, &[rows, columns])? })
    }

    /// Checks that every array below the prefix was read.
    ///
    /// # Errors
    /// [`Error::StateDict`] with the others.
    pub fn finish(self) -> Result<()> {
        let rest = Rest::new(self.file, self.prefix, &self.read, false);
        rest.accept(self.module, Vec::new()).map(drop)
    }
}

/// A row-major matrix.
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f32>,
}

impl Matrix {
    /// Returns the transposed matrix of some rows. Its rows are equal blocks in this order.
    pub fn transposed(&self, rows: Range<usize>, order: &[usize]) -> Result<Vec<f32>> {
        let block = self.columns / order.len();
        let mut values = reserved(rows.len() * self.columns, "the converted weights")?;
        for column in order.iter().flat_map(|gate| gate * block..(gate + 1) * block) {
            values.extend(rows.clone().map(|row| self.values[row * self.columns + column]));
        }
        Ok(values)
    }
}

//! Sparse files in GNU's forms: the old one, and PAX 0.0, 0.1 and 1.0.

use std::io::Read;

use super::fields::{decimal, field};
use super::{BLOCK, Block, Entry, MAX_SPARSE, TarError, TarReader};

impl<R: Read> TarReader<R> {
    /// GNU's old sparse format: four parts in the header, more in blocks behind it.
    pub(super) fn old_sparse(&mut self, header: &Block, entry: &mut Entry) -> Result<(), TarError> {
        let mut parts = Vec::new();
        let mut more = header[482] != 0;
        self.sparse_parts(header, 386, 4, &mut parts)?;
        entry.size = self.number(header, 483, 12)?;
        while more {
            let mut block: Block = [0; 512];
            self.fill(&mut block)?;
            self.sparse_parts(&block, 0, 21, &mut parts)?;
            more = block[504] != 0;
        }
        entry.sparse = Some(parts);
        self.begin_content(entry.stored)
    }

    pub(super) fn sparse_parts(
        &self,
        block: &Block,
        at: usize,
        count: usize,
        parts: &mut Vec<(u64, u64)>,
    ) -> Result<(), TarError> {
        for part in 0..count {
            let at = at + part * 24;
            if field(block, at, 24).iter().all(|byte| *byte == 0) {
                break;
            }
            parts.push((
                self.number(block, at, 12)?,
                self.number(block, at + 12, 12)?,
            ));
            if parts.len() > MAX_SPARSE {
                return self.rule("it is sparse in too many parts");
            }
        }
        Ok(())
    }

    /// GNU's sparse format 1.0: a list of decimal numbers, one a line, in the first blocks of the content.
    pub(super) fn sparse_1_0(&mut self, entry: &mut Entry) -> Result<(), TarError> {
        const MALFORMED: &str = "its list of sparse parts is malformed";
        let mut block: Block = [0; 512];
        let mut at = BLOCK;
        let mut numbers = Vec::new();
        let mut wanted = 1_usize;
        let mut digits = Vec::new();
        while numbers.len() < wanted {
            if at == BLOCK {
                if self.left < BLOCK {
                    return self.rule(MALFORMED);
                }
                self.fill(&mut block)?;
                self.left -= BLOCK;
                at = 0;
            }
            let byte = usize::try_from(at)
                .ok()
                .and_then(|at| block.get(at))
                .copied()
                .unwrap_or(0);
            at += 1;
            if byte != b'\n' {
                digits.push(byte);
                if digits.len() > 20 {
                    return self.rule(MALFORMED);
                }
                continue;
            }
            let Some(number) = decimal(&std::mem::take(&mut digits)) else {
                return self.rule(MALFORMED);
            };
            if numbers.is_empty() {
                let count = usize::try_from(number).unwrap_or(usize::MAX);
                if count > MAX_SPARSE {
                    return self.rule("it is sparse in too many parts");
                }
                wanted = 1 + 2 * count;
            }
            numbers.push(number);
        }
        let pairs = numbers.get(1..).unwrap_or_default().chunks_exact(2);
        entry.sparse = Some(
            pairs
                .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
                .collect(),
        );
        entry.stored = self.left;
        Ok(())
    }

    pub(super) fn check_sparse(&self, entry: &Entry, parts: &[(u64, u64)]) -> Result<(), TarError> {
        let (mut end, mut content) = (0_u64, 0_u64);
        for (offset, length) in parts {
            let Some(next) = offset
                .checked_add(*length)
                .filter(|next| *offset >= end && *next <= entry.size)
            else {
                return self.rule("its sparse parts overlap or reach beyond its end");
            };
            end = next;
            content += length;
        }
        if content == entry.stored && entry.size <= i64::MAX.unsigned_abs() {
            Ok(())
        } else {
            self.rule("its sparse parts do not add up to its content")
        }
    }
}

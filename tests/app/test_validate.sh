#!/bin/sh
# trine validate: a table is scored, in words, JSON and a line a row; what is no table, and what cannot be written, is said.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN

cat >mine.csv <<END
chip,engine,dtype,m,n,k,latency_us
H100-SXM,"mine, v1",bfloat16,4096,4096,4096,230
nobody's,"mine, v1",bfloat16,4096,4096,4096,230
x9,"mine, v1",bfloat16,4096,4096,4096,230
END
expect 0 'not covered: 1 rows: unknown chip "nobody' $trine validate mine.csv
expect 0 '"covered": 1,' $trine validate mine.csv --json
expect 0 "H100-SXM" $trine validate mine.csv --csv rows.csv
grep -q '^2,,H100-SXM,bfloat16,"mine, v1",230,' rows.csv || fault "the line of the row that is covered is not there"
grep -q '^4,,x9,bfloat16,"mine, v1",230,,,,,,' rows.csv || fault "a row that is not covered has a prediction"
expect 0 "H100-SXM" $trine validate mine.csv --summary lines.csv
grep -q '^H100-SXM,bfloat16,"mine, v1",1,1,0[.]' lines.csv || fault "the summary does not have the line that is covered"
grep -q '^x9,bfloat16,"mine, v1",1,0,,,,,$' lines.csv || fault "the summary has figures of what is not covered"

# A chip of one's own.
cat >x9.yaml <<END
chips:
  x9: {like: h100-sxm, name: X9, memory_bandwidth: {value: 5TB/s, grade: stated}}
END
expect 0 "not covered: 1 rows" $trine validate mine.csv --catalog x9.yaml --csv own.csv
grep -q '^4,,x9.*,transferred,$' own.csv || fault "a chip that is like another is not graded transferred"
sed -i 's/{value: 5TB.s, grade: stated}/5TB\/s/' x9.yaml
expect 0 "not covered: 1 rows" $trine validate mine.csv --catalog x9.yaml --csv own.csv
grep -q '^4,,x9.*,assumed,$' own.csv || fault "a number that nobody vouches for is not seen in what is made of it"

# Milliseconds in a column of microseconds.
printf 'chip,engine,dtype,m,n,k,latency_us\nH100,e,bfloat16,1,65536,65536,3000\nH100,e,bfloat16,1,65536,65536,30\n' >slip.csv
expect 0 "not covered: 1 rows: cannot be: more bytes/s than the chip's memory has" $trine validate slip.csv
printf 'system,library,op,dtype,n_gpus,message_elements,latency_us\nH100,NCCL,all_reduce,bfloat16,8,500000000,4200\nH100,NCCL,all_reduce,bfloat16,8,500000000,4\n' >slip.csv
expect 0 "not covered: 1 rows: cannot be: more bytes/s than the chip's links have" $trine validate slip.csv

# Bad input, and nothing half written.
printf 'a,b\n1,2\n' >none.csv
expect 2 "none.csv: its columns are those of no table of measurements; known: op_gemm" $trine validate none.csv --csv none.out
[ ! -e none.out ] || fault "a table that is refused left a file"
expect 2 "absent.csv" $trine validate absent.csv
expect 2 "TABLE" $trine validate
printf 'chip,engine,dtype,m,n,k,latency_us\nH100,e,fp8,0,1,1,1\n' >zero.csv
expect 0 'not covered: 1 rows: a size that is no whole number in its range' $trine validate zero.csv
expect 3 "no/such/rows.csv" $trine validate mine.csv --csv no/such/rows.csv
expect 3 "no/such/lines.csv" $trine validate mine.csv --summary no/such/lines.csv
done_all
